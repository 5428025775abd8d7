// The list of conversations: new, search, and each with rename and delete.

import { useState } from 'preact/hooks';
import { conversations, startNew } from '../state/conversations.ts';
import { narrow, sidebar, toggleSidebar } from '../state/page.ts';
import type { Conversation } from '../state/types.ts';
import { ConversationRow } from './conversation-row.tsx';
import { Bird, Icon } from './icons.tsx';
import { IconButton } from './icon-button.tsx';
import { key } from './keys.ts';

/** From so many on, a list is easier to search than to read. */
const MANY = 8;

export function Sidebar() {
  const [search, setSearch] = useState('');
  const all = conversations.value;
  const found = all.filter((entry) => matches(entry, search));
  const begin = () => {
    startNew();
    if (narrow()) sidebar.value = false;
  };
  return (
    <>
      <nav class="sidebar" aria-label="Conversations">
        <div class="sidebar-top">
          <span class="brand">
            <Bird /> Whinchat
          </span>
          <IconButton icon="close" label="Close the list" class="only-narrow" onClick={toggleSidebar} />
        </div>
        <button type="button" class="new-chat" onClick={begin}>
          <Icon name="plus" /> New chat <kbd>{key('K')}</kbd>
        </button>
        {all.length >= MANY && (
          <input type="search" class="search" aria-label="Search conversations" placeholder="Search" value={search} onInput={(event) => setSearch(event.currentTarget.value)} />
        )}
        <ul class="conversations">
          {found.map((entry) => (
            <ConversationRow key={entry.id} conversation={entry} />
          ))}
        </ul>
        {found.length === 0 && <p class="none">{search ? 'Nothing found.' : 'Your conversations will be kept here, in this browser only.'}</p>}
      </nav>
      <div class="shade only-narrow" onClick={toggleSidebar} />
    </>
  );
}

function matches({ title, messages }: Conversation, search: string): boolean {
  const wanted = search.trim().toLowerCase();
  return [title, ...messages.map(({ content }) => content)].some((text) => text.toLowerCase().includes(wanted));
}
