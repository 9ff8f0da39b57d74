// The service's own routes. Where it asks for a key, the key is exchanged for a cookie that no script can read and that
// no other site can send; a header that no form can send goes along with whatever changes something.

let asking = null;

export class ServiceError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.code = problem.code;
    /** It may work in a moment. */
    this.passing = [0, 408, 429, 503, 504].includes(status);
  }
}

const HEADERS = { Accept: 'application/json', 'X-Requested-With': 'firstsight' };

async function problemOf(answer) {
  try {
    return await answer.json();
  } catch {
    return { detail: `the service answered ${answer.status}` };
  }
}

/** What `fetch` says where nothing answers is for programmers. */
async function ask(path, settings) {
  try {
    return await fetch(path, settings);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServiceError(0, { detail: 'The service does not answer. It may have been stopped, or the network is down.' });
  }
}

/** Ask a route; the answer is its JSON. Where a key is needed it is asked for, and the call goes on with it. */
export async function call(path, { method = 'GET', body, signal } = {}) {
  for (;;) {
    const answer = await ask(path, {
      method,
      signal,
      headers: body === undefined ? HEADERS : { ...HEADERS, 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.status === 401) {
      await signIn();
      continue;
    }
    if (!answer.ok) throw new ServiceError(answer.status, await problemOf(answer));
    return answer.status === 204 ? null : answer.json();
  }
}

/** A picture as bytes. */
export async function bytes(path) {
  const answer = await ask(path, { headers: HEADERS });
  if (!answer.ok) throw new ServiceError(answer.status, await problemOf(answer));
  return answer.blob();
}

/** Ask for a key until the service takes one; several calls that wait for it share one dialog. */
function signIn() {
  asking ??= new Promise((done) => {
    const dialog = document.getElementById('sign-in');
    const form = dialog.querySelector('form');
    const wrong = dialog.querySelector('.wrong');
    wrong.hidden = true;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const key = form.querySelector('input').value.trim();
      try {
        const answer = await ask('session', {
          method: 'POST', headers: { ...HEADERS, 'Content-Type': 'application/json' }, body: JSON.stringify({ key }),
        });
        if (!answer.ok) throw new ServiceError(answer.status, await problemOf(answer));
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
      asking = null;
      done();
    };
    dialog.showModal();
  });
  return asking;
}

/** Which of these items are in review: their pictures are blurred until asked for. All of them where nobody can say. */
export async function veiledOf(itemIds, signal) {
  const ids = [...new Set(itemIds)].slice(0, 200);
  if (!ids.length) return new Set();
  const asked = new URLSearchParams(ids.map((id) => ['item_id', id]));
  const told = await get(`veiled?${asked}`, signal).catch(() => ({ veiled: ids }));
  return new Set(told.veiled);
}

export const get = (path, signal) => call(path, { signal });
export const post = (path, body, signal) => call(path, { method: 'POST', body, signal });
/** An id as a part of a path. */
export const part = (id) => encodeURIComponent(id);
