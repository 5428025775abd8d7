// Shows the notice of the moment.

import { dismiss, shownNotice } from '../state/notice.ts';

export function NoticeBar() {
  const shown = shownNotice.value;
  return (
    <div class="notices" role="status">
      {shown && (
        <div class="notice">
          <span>{shown.text}</span>
          {shown.action && (
            <button
              type="button"
              class="button quiet"
              onClick={() => {
                dismiss();
                shown.action?.run();
              }}
            >
              {shown.action.label}
            </button>
          )}
        </div>
      )}
    </div>
  );
}
