// The service's own routes. Where it asks for a key, the key goes along as a header, never as a cookie:
// another site can then make a browser do nothing in its owner's name.

const KEPT = 'firstsight-key';
let asking = null;

export class ServiceError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.code = problem.code;
  }
}

export function apiKey() {
  return sessionStorage.getItem(KEPT) || '';
}

function headers(more = {}) {
  const key = apiKey();
  return { Accept: 'application/json', 'X-Requested-With': 'firstsight', ...(key ? { 'X-API-Key': key } : {}), ...more };
}

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return { detail: `the service answered ${answer.status}` };
  }
}

/** Ask a route; the answer is its JSON. Where a key is needed it is asked for, and the call goes on with it. */
export async function call(path, { method = 'GET', body, signal } = {}) {
  for (;;) {
    const answer = await fetch(path, {
      method,
      signal,
      headers: body === undefined ? headers() : headers({ 'Content-Type': 'application/json' }),
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.status === 401) {
      await signIn(apiKey() ? 'That key is not known, or was revoked.' : '');
      continue;
    }
    if (!answer.ok) throw new ServiceError(answer.status, await problemOf(answer));
    return answer.status === 204 ? null : answer.json();
  }
}

/** A picture or video as bytes: where the service wants a key, since elements cannot send one. */
export async function bytes(path, signal) {
  const answer = await fetch(path, { headers: headers(), signal });
  if (!answer.ok) throw new ServiceError(answer.status, await problemOf(answer));
  return answer.blob();
}

function signIn(wrong) {
  asking ??= new Promise((done) => {
    const dialog = document.getElementById('sign-in');
    const form = dialog.querySelector('form');
    const said = dialog.querySelector('.wrong');
    said.hidden = !wrong;
    said.textContent = wrong;
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEPT, form.querySelector('input').value.trim());
      form.reset();
      dialog.close();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      asking = null;
      done();
    };
    dialog.showModal();
  });
  return asking;
}

export const get = (path, signal) => call(path, { signal });
export const post = (path, body, signal) => call(path, { method: 'POST', body, signal });
/** An id as a part of a path. */
export const part = (id) => encodeURIComponent(id);
