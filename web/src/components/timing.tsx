// How long an answer took, as this page saw it; the tokens are the server's count.

import type { Message } from '../state/types.ts';
import { duration, rate } from '../text/format.ts';

/** Over less than this, a speed would be noise. */
const SHORTEST_MS = 20;

export function Timing({ message }: { message: Message }) {
  const { firstMs, restMs = 0, promptTokens, answerTokens } = message.timings ?? {};
  if (firstMs === undefined) return null;
  const speed = answerTokens && answerTokens > 1 && restMs >= SHORTEST_MS ? ((answerTokens - 1) * 1000) / restMs : undefined;
  return (
    <dl class="timing">
      <Figure name="Time to first token" shown={duration(firstMs)} unit="to first token" />
      {speed !== undefined && <Figure name="Speed" shown={rate(speed)} unit="tokens/s" />}
      {promptTokens !== undefined && <Figure name="Prompt" shown={promptTokens.toLocaleString('en')} unit="prompt" />}
      {answerTokens !== undefined && <Figure name="Answer" shown={answerTokens.toLocaleString('en')} unit={answerTokens === 1 ? 'answer token' : 'answer tokens'} />}
    </dl>
  );
}

function Figure({ name, shown, unit }: { name: string; shown: string; unit: string }) {
  return (
    <div>
      <dt class="unseen">{name}</dt>
      <dd>
        <b>{shown}</b> {unit}
      </dd>
    </div>
  );
}
