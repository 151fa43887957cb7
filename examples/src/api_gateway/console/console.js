'use strict';

const element = (id) => document.getElementById(id);
const state = { token: null, refreshToken: null, refreshing: null, socket: null, page: 1, pages: 1 };

/** Adds a line to the list of answers; the newest stands first. */
function note(text, failed = false) {
  const line = document.createElement('li');
  line.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
  line.className = failed ? 'error' : '';
  element('log').prepend(line);
}

/** Sends a request to the gateway; a body that is not JSON is none. */
async function send(method, path, body, token) {
  const response = await fetch(path, {
    method,
    headers: {
      ...(body && { 'content-type': 'application/json' }),
      ...(token && { authorization: `Bearer ${token}` }),
    },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  let json = null;
  try { json = JSON.parse(text); } catch { /* a 204, or the page of a proxy */ }
  const error = json?.error;
  note(`${method} ${path} → ${response.status}${error ? ` ${error.code}: ${error.message} (${error.requestId})` : ''}`, !response.ok);
  return { response, json };
}

/** Calls the gateway, with fresh tokens if these have expired; an error envelope becomes an Error. */
async function call(method, path, body, token = state.token) {
  let { response, json } = await send(method, path, body, token);
  if (response.status === 401 && token && await refresh(token)) {
    ({ response, json } = await send(method, path, body, state.token));
  }
  if (!response.ok) throw new Error(json?.error?.message ?? response.statusText);
  return json;
}

/** Whether there is a newer token than the one that was refused: the refresh token serves once, for all who ask. */
async function refresh(refused) {
  if (state.token !== refused) return state.token !== null;
  state.refreshing ??= trade().finally(() => { state.refreshing = null; });
  return state.refreshing;
}

async function trade() {
  if (!state.refreshToken) return false;
  const { response, json } = await send('POST', '/api/v1/auth/refresh', { refreshToken: state.refreshToken }, null);
  if (response.ok) {
    state.token = json.accessToken;
    state.refreshToken = json.refreshToken;
  } else if (response.status < 500 && response.status !== 429) {
    state.token = state.refreshToken = null;
    element('session').textContent = 'The session has ended: sign in again';
  }
  return response.ok;
}

/** Runs an action of a form once at a time; what fails is in the list of answers. */
function onSubmit(id, action) {
  const form = element(id);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('button');
    button.disabled = true;
    try {
      await action(new FormData(form), form);
    } catch (error) {
      note(error.message, true);
    }
    button.disabled = false;
  });
}

async function showUsers() {
  const { data, pagination } = await call('GET', `/api/v1/users?page=${state.page}&limit=10`);
  state.pages = Math.max(1, pagination.totalPages);
  const rows = data.map((user) => {
    const row = document.createElement('tr');
    for (const value of [user.email, user.roles.join(', '), new Date(user.createdAt).toLocaleString(), user.id]) {
      row.insertCell().textContent = value;
    }
    return row;
  });
  element('users').replaceChildren(...rows);
  element('publish').elements.audience.replaceChildren(...data.map((user) => new Option(user.email, user.id)));
  element('page').textContent = `${state.page} of ${state.pages}, ${pagination.total} users`;
  element('previous').disabled = state.page <= 1;
  element('next').disabled = state.page >= state.pages;
}

/** Socket.IO, protocol 5 over WebSocket: text packets and acknowledgements. */
function connect(refreshed = false) {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const socket = new WebSocket(`${scheme}://${location.host}/socket.io/?EIO=4&transport=websocket`);
  const status = (text) => { element('socket').textContent = `Socket: ${text}`; };
  const token = state.token;
  let refused = null;
  state.socket = socket;
  socket.onmessage = ({ data }) => {
    if (data.startsWith('0')) socket.send(`40${JSON.stringify({ token })}`);
    else if (data === '2') socket.send('3');
    else if (data.startsWith('40')) {
      refreshed = false;
      status('connected');
    } else if (data.startsWith('41')) {
      socket.close();
    } else if (data.startsWith('44')) {
      refused = data.slice(2);
      socket.close();
    } else if (data.startsWith('42')) {
      const [, id, json] = /^42(\d*)(.*)$/s.exec(data);
      const [name, argument] = JSON.parse(json);
      if (name !== 'notification') return;
      const item = document.createElement('li');
      item.textContent = argument.message;
      element('notifications').prepend(item);
      note(`notification ${argument.id}: ${argument.message}`);
      if (id) socket.send(`43${id}${JSON.stringify([{ received: argument.id }])}`);
    }
  };
  socket.onclose = async () => {
    // Signing in again has opened another.
    if (state.socket !== socket) return;
    state.socket = null;
    if (refused === null) {
      status('closed');
      setTimeout(() => { if (!state.socket) connect(refreshed); }, 2000 + 1000 * Math.random());
      return;
    }
    const renewed = !refreshed && await refresh(token).catch(() => false);
    if (state.socket) return;
    if (renewed) connect(true);
    // Asking again would be refused again: signing in connects.
    else status(`refused ${refused}`);
  };
}

onSubmit('login', async (form) => {
  const tokens = await call('POST', '/api/v1/auth/login', Object.fromEntries(form), null);
  state.token = tokens.accessToken;
  state.refreshToken = tokens.refreshToken;
  element('session').textContent = form.get('email');
  document.querySelectorAll('[data-signed-in]').forEach((part) => { part.hidden = false; });
  const old = state.socket;
  connect();
  old?.close();
  await showUsers();
});
onSubmit('create', async (data, form) => {
  const { firstName, ...user } = Object.fromEntries(data);
  await call('POST', '/api/v1/users', { ...user, profile: firstName ? { firstName } : undefined });
  form.reset();
  await showUsers();
});
onSubmit('publish', async (data, form) => {
  const audience = data.getAll('audience');
  const content = await call('POST', '/api/v1/contents', { title: data.get('title'), body: data.get('body'), audience });
  await call('POST', `/api/v1/contents/${content.id}/publish`);
  form.reset();
});
element('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText(state.token);
  note('token copied');
});
for (const [id, step] of [['previous', -1], ['next', 1]]) {
  element(id).addEventListener('click', () => {
    state.page += step;
    showUsers().catch((error) => note(error.message, true));
  });
}
