// The list of keyboard shortcuts.

import { useEffect, useRef } from 'preact/hooks';
import { shortcutsOpen } from '../state/page.ts';
import { IconButton } from './icon-button.tsx';
import { SHORTCUTS } from './keys.ts';

export function Shortcuts() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => (shortcutsOpen.value = false);
  return (
    <dialog ref={dialog} class="shortcuts" aria-labelledby="shortcuts-title" onClose={close} onClick={(e) => e.target === dialog.current && close()}>
      <div class="settings-top">
        <h2 id="shortcuts-title">Keyboard shortcuts</h2>
        <IconButton icon="close" label="Close" onClick={close} />
      </div>
      <dl>
        {SHORTCUTS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map((name) => (
                <kbd key={name}>{name}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </dialog>
  );
}
