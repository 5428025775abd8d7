// The top line: the list, the model, the settings, and what can be done with the conversation.

import { nextTheme, settingsOpen, sidebar, theme, toggleSidebar } from '../state/page.ts';
import { startNew } from '../state/conversations.ts';
import { IconButton } from './icon-button.tsx';
import type { IconName } from './icons.tsx';
import { key } from './keys.ts';
import { Menu } from './menu.tsx';
import { ModelPicker } from './model-picker.tsx';

export function Header() {
  return (
    <header class="header">
      <IconButton icon="menu" label="Conversations" keys={key('B')} onClick={toggleSidebar} expanded={sidebar.value} />
      {!sidebar.value && <IconButton icon="plus" label="New chat" keys={key('K')} onClick={startNew} />}
      <ModelPicker />
      <span class="spring" />
      <ThemeButton />
      <IconButton
        icon="settings"
        label="Settings"
        keys={key(',')}
        onClick={() => (settingsOpen.value = !settingsOpen.value)}
        expanded={settingsOpen.value}
      />
      <Menu />
    </header>
  );
}

function ThemeButton() {
  const icon: IconName = theme.value === 'light' ? 'sun' : theme.value === 'dark' ? 'moon' : 'system';
  return <IconButton icon={icon} label={`Theme: ${theme.value || 'as the system'}`} onClick={nextTheme} />;
}
