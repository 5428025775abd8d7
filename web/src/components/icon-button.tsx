// A button that is an icon; its label is read aloud and shown on hover.

import { Icon, type IconName } from './icons.tsx';

interface Props {
  icon: IconName;
  label: string;
  onClick: () => void;
  keys?: string;
  class?: string;
  expanded?: boolean;
  disabled?: boolean;
}

export function IconButton({ icon, label, onClick, keys, class: more = '', expanded, disabled }: Props) {
  return (
    <button
      type="button"
      class={`icon-button ${more}`}
      aria-label={label}
      aria-expanded={expanded}
      title={keys ? `${label} (${keys})` : label}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}
