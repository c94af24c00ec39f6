// What the page asks of the daemon, and how it hears from it.
const BASE = "api/v1/";
/** The server says something at least every ten seconds. */
const SILENCE_MS = 30_000;

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

let token = sessionStorage.getItem("taskrun.token") ?? "";

export const isUnlocked = () => token !== "";

export function setToken(next) {
  token = next.trim();
  if (token) sessionStorage.setItem("taskrun.token", token);
  else sessionStorage.removeItem("taskrun.token");
}

async function answered(response) {
  const body = await response.json().catch(() => null);
  if (!response.ok && !(body && "ready" in body)) {
    throw new ApiError(response.status, body?.error?.code ?? body?.code ?? "", body?.error?.message ?? body?.message ?? response.statusText);
  }
  return body;
}

/** Reads; parameters that are empty are left out. */
export async function get(path, query = {}) {
  const wanted = Object.entries(query).filter(([, value]) => value !== undefined && value !== "" && value !== false);
  const search = wanted.length ? `?${new URLSearchParams(wanted)}` : "";
  return answered(await fetch((path.startsWith("/") ? path.slice(1) : BASE + path) + search, { cache: "no-store" }));
}

/** Orders a change. */
export async function post(path, body = {}) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  return answered(await fetch(BASE + path, { method: "POST", headers, body: JSON.stringify(body) }));
}

/** Listens for as long as the page is open: to the open runs, to whatever else changed, and whether the daemon is there. */
export function listen(onRuns, onChange, onLife) {
  let source = null;
  let silence = 0;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(gone, SILENCE_MS);
    onLife(true);
  };
  const gone = () => {
    onLife(false);
    source?.close();
    clearTimeout(silence);
    setTimeout(connect, 2000);
  };
  const connect = () => {
    source = new EventSource(`${BASE}events`);
    source.addEventListener("hello", heard);
    source.addEventListener("heartbeat", heard);
    source.addEventListener("changed", () => {
      heard();
      onChange();
    });
    source.addEventListener("runs", (event) => {
      heard();
      onRuns(JSON.parse(event.data));
    });
    source.onerror = gone;
  };
  connect();
}
