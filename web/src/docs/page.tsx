// The page to try calls: all that the server answers, by API.

import { Bird, type IconName } from '../components/icons.tsx';
import { IconButton } from '../components/icon-button.tsx';
import { nextTheme, theme } from '../state/page.ts';
import { Call } from './call.tsx';
import { key, openapi, shown, trouble, wanted } from './store.ts';

export function Docs() {
  return (
    <>
      <TopLine />
      <main class="calls">
        <h1>What this server answers</h1>
        {openapi.value && (
          <p class="lead">
            {openapi.value.info.description} All of this is at <a href="openapi.json">openapi.json</a> for programs.
          </p>
        )}
        {trouble.value && <p role="alert">What the server answers is not known: {trouble.value}</p>}
        {openapi.value && shown.value.length === 0 && <p>No call has these words.</p>}
        {shown.value.map(({ name, description, operations }) => (
          <section key={name} aria-labelledby={`api-${name}`}>
            <h2 id={`api-${name}`}>{name}</h2>
            <p class="soft">{description}</p>
            {operations.map((operation) => (
              <Call key={operation.operationId} operation={operation} />
            ))}
          </section>
        ))}
      </main>
    </>
  );
}

function TopLine() {
  const icon: IconName = theme.value === 'light' ? 'sun' : theme.value === 'dark' ? 'moon' : 'system';
  return (
    <header class="top-line">
      <a class="home" href="." aria-label="Whinchat: to the chat page">
        <Bird />
        <b>Whinchat</b>
      </a>
      <span class="soft">{openapi.value?.info.version}</span>
      <span class="spring" />
      <input type="search" aria-label="Search" placeholder="Search" value={wanted.value} onInput={(e) => (wanted.value = e.currentTarget.value)} />
      <input
        type="password"
        aria-label="Key"
        placeholder="Key"
        title="Goes with every call, and is forgotten when the page is left"
        autocomplete="off"
        value={key.value}
        onInput={(e) => (key.value = e.currentTarget.value)}
      />
      <IconButton icon={icon} label={`Theme: ${theme.value || 'as the system'}`} onClick={nextTheme} />
    </header>
  );
}
