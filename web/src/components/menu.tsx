// What can be done with the shown conversation as a whole.

import { useRef } from 'preact/hooks';
import { stop } from '../state/answers.ts';
import { current, isFresh, remove } from '../state/conversations.ts';
import { copyConversation, exportJson } from '../state/copy.ts';
import { shortcutsOpen } from '../state/page.ts';
import { Icon, type IconName } from './icons.tsx';

export function Menu() {
  const box = useRef<HTMLDivElement>(null);
  const entry = (icon: IconName, label: string, act: () => void, needsText = true) => (
    <button
      type="button"
      disabled={needsText && isFresh.value}
      onClick={() => {
        box.current?.hidePopover();
        act();
      }}
    >
      <Icon name={icon} /> {label}
    </button>
  );
  return (
    <>
      <button type="button" class="icon-button" aria-label="More" title="More" popovertarget="menu">
        <Icon name="more" />
      </button>
      <div id="menu" class="menu" popover="auto" ref={box}>
        {entry('copy', 'Copy conversation', () => void copyConversation(current.value))}
        {entry('download', 'Export as JSON', () => exportJson(current.value))}
        {entry('trash', 'Delete conversation', () => deleteShown())}
        {entry('chart', 'Dashboard', () => location.assign('dashboard'), false)}
        <hr />
        {entry('keyboard', 'Keyboard shortcuts', () => (shortcutsOpen.value = true), false)}
      </div>
    </>
  );
}

function deleteShown() {
  stop();
  remove(current.value.id);
}
