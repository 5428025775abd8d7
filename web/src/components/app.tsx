// The page: the list, the conversation with the field below it, the settings.

import { useEffect } from 'preact/hooks';
import { run } from '../state/answers.ts';
import { current } from '../state/conversations.ts';
import { settingsOpen, shortcutsOpen, sidebar } from '../state/page.ts';
import { ask, model, plain, status } from '../state/server.ts';
import { Announcer } from './announcer.tsx';
import { Composer } from './composer.tsx';
import { Empty } from './empty.tsx';
import { Header } from './header.tsx';
import { onKeyDown } from './keys.ts';
import { NoticeBar } from './notice-bar.tsx';
import { Settings } from './settings.tsx';
import { Shortcuts } from './shortcuts.tsx';
import { Sidebar } from './sidebar.tsx';
import { SystemNote } from './system-note.tsx';
import { Transcript } from './transcript.tsx';

export function App() {
  const { id, title, messages, settings } = current.value;
  useEffect(() => {
    void ask();
    addEventListener('keydown', onKeyDown);
  }, []);
  useEffect(() => {
    document.title = `${run.value ? '… ' : ''}${title ? `${title} – ` : ''}Whinchat`;
  }, [title, run.value]);
  return (
    <div class="app">
      {sidebar.value && <Sidebar />}
      <main class="main">
        <Header />
        {messages.length > 0 ? (
          <Transcript />
        ) : (
          <div class="start">
            <div class="column">
              <SystemNote text={settings['system']} />
            </div>
            <Empty />
          </div>
        )}
        <div class="foot">
          <ServerNote />
          <Composer key={id} />
          <p class="small-print">Models make mistakes. Press ? for keyboard shortcuts.</p>
        </div>
      </main>
      {settingsOpen.value && <Settings key={id} />}
      {shortcutsOpen.value && <Shortcuts />}
      <NoticeBar />
      <Announcer />
    </div>
  );
}

const WAITING: Record<string, string> = {
  loading: 'The model is being loaded. It answers when it is ready.',
  draining: 'The server is shutting down.',
  unreachable: 'The server cannot be reached. Trying again…',
};

function ServerNote() {
  const words = WAITING[status.value] ?? (plain.value ? `${model.value} has no chat template, so it cannot chat: it goes on with what you write, as plain text.` : undefined);
  return words ? <p class="server-note">{words}</p> : null;
}
