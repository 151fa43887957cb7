'use strict';

const element = (id) => document.getElementById(id);
const state = { token: null, page: 1, pages: 1 };

/** Adds a line to the list of answers; the newest stands first. */
function note(text, failed = false) {
  const line = document.createElement('li');
  line.textContent = `${new Date().toLocaleTimeString()}  ${text}`;
  line.className = failed ? 'error' : '';
  element('log').prepend(line);
}

/** Calls the gateway; an error envelope becomes an Error. */
async function call(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: {
      ...(body && { 'content-type': 'application/json' }),
      ...(state.token && { authorization: `Bearer ${state.token}` }),
    },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  const json = text ? JSON.parse(text) : null;
  const error = json?.error;
  note(`${method} ${path} → ${response.status}${error ? ` ${error.code}: ${error.message} (${error.requestId})` : ''}`, !response.ok);
  if (!response.ok) throw new Error(error?.message ?? response.statusText);
  return json;
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
function connect() {
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  const socket = new WebSocket(`${scheme}://${location.host}/socket.io/?EIO=4&transport=websocket`);
  const status = (text) => { element('socket').textContent = `Socket: ${text}`; };
  socket.onmessage = ({ data }) => {
    if (data.startsWith('0')) socket.send(`40${JSON.stringify({ token: state.token })}`);
    else if (data === '2') socket.send('3');
    else if (data.startsWith('40')) status('connected');
    else if (data.startsWith('44')) status(`refused ${data.slice(2)}`);
    else if (data.startsWith('42')) {
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
  socket.onclose = () => { status('closed'); if (state.token) setTimeout(connect, 2000 + 1000 * Math.random()); };
}

onSubmit('login', async (form) => {
  const tokens = await call('POST', '/api/v1/auth/login', Object.fromEntries(form));
  const first = !state.token;
  state.token = tokens.accessToken;
  element('session').textContent = form.get('email');
  document.querySelectorAll('[data-signed-in]').forEach((part) => { part.hidden = false; });
  if (first) connect();
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
