// Requests to the routes of the service. If the service needs an API key, the page exchanges the key for a cookie. No
// script can read that cookie, and no other site can send it. Each request has a header that no form can send; the
// service requires it for changes.

let pendingSignIn = null;

export class ServiceError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.code = problem.code;
    /** Whether the same request may succeed soon. */
    this.temporary = [0, 408, 429, 503, 504].includes(status);
  }
}

const HEADERS = { Accept: 'application/json', 'X-Requested-With': 'firstsight' };

async function readProblem(response) {
  try {
    return await response.json();
  } catch {
    return { detail: `the service answered ${response.status}` };
  }
}

/** As `fetch`, but with an error message for users if the service does not answer. */
async function send(path, settings) {
  try {
    return await fetch(path, settings);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServiceError(0, { detail: 'The service does not answer. It may have been stopped, or the network is down.' });
  }
}

/** Call a route and return its JSON; null for 204. If a key is needed, ask the user for it and send the request again. */
export async function call(path, { method = 'GET', body, signal } = {}) {
  for (;;) {
    const response = await send(path, {
      method,
      signal,
      headers: body === undefined ? HEADERS : { ...HEADERS, 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.status === 401) {
      await signIn();
      continue;
    }
    if (!response.ok) throw new ServiceError(response.status, await readProblem(response));
    return response.status === 204 ? null : response.json();
  }
}

/** Fetch a picture as a Blob. */
export async function fetchBlob(path) {
  const response = await send(path, { headers: HEADERS });
  if (!response.ok) throw new ServiceError(response.status, await readProblem(response));
  return response.blob();
}

/** Ask the user for a key until the service accepts one. All calls that wait for a key share one dialog. */
function signIn() {
  pendingSignIn ??= new Promise((done) => {
    const dialog = document.getElementById('sign-in');
    const form = dialog.querySelector('form');
    const wrong = dialog.querySelector('.wrong');
    wrong.hidden = true;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const key = form.querySelector('input').value.trim();
      try {
        const response = await send('session', {
          method: 'POST', headers: { ...HEADERS, 'Content-Type': 'application/json' }, body: JSON.stringify({ key }),
        });
        if (!response.ok) throw new ServiceError(response.status, await readProblem(response));
      } catch (error) {
        wrong.textContent = error.message;
        wrong.hidden = false;
        return;
      }
      form.reset();
      dialog.close();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      pendingSignIn = null;
      done();
    };
    dialog.showModal();
  });
  return pendingSignIn;
}

/** Ids of the given items that are in review: the page blurs their pictures. If the request fails, all ids. */
export async function findVeiled(itemIds, signal) {
  const ids = [...new Set(itemIds)].slice(0, 200);
  if (!ids.length) return new Set();
  const parameters = new URLSearchParams(ids.map((id) => ['item_id', id]));
  const found = await get(`veiled?${parameters}`, signal).catch(() => ({ veiled: ids }));
  return new Set(found.veiled);
}

export const get = (path, signal) => call(path, { signal });
export const post = (path, body, signal) => call(path, { method: 'POST', body, signal });
/** An id as one part of a path. */
export const encodeId = (id) => encodeURIComponent(id);
