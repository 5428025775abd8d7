// Opens the dashboard and reads it.

/** The dashboard in a browser of its own. What it complains of ends up in `complaints`. */
export async function openDashboard(browser, address, options = {}) {
  const context = await browser.newContext({ reducedMotion: 'reduce', timezoneId: 'UTC', ...options });
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION/.test(message.text())) complaints.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(address)) complaints.push(`asked for ${request.url()}`);
  });
  await page.goto(`${address}/dashboard`);
  await page.locator('.top-line').waitFor();
  return { page, context, complaints };
}

/** The number of a tile. */
export function tile(page, name) {
  return page.locator('.tile').filter({ hasText: name }).first().locator('b').innerText();
}
