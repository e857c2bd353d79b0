// The page: login if the gateway asks for it, else everything at one glance.
import { render } from "preact";
import { useSignal } from "@preact/signals";
import { Banner, Buffer, Footer, Health, Storage, Uplink } from "./cards";
import { enter, start, wantsToken } from "./net";
import { link, login, status } from "./state";
import { Devices } from "./tiles";

const linkWords = { connecting: "Connecting …", live: "Live", lost: "Not live", login: "Locked" };

function App() {
  const id = status.value?.gateway_id ?? "fieldgate";
  return (
    <>
      <header class="top">
        <h1>{id}</h1>
        <span key={link.value} class={`link ${link.value}`}>
          <i class="dot" />
          {linkWords[link.value]}
        </span>
      </header>
      {link.value === "login" ? <Login /> : <Overview />}
      <Banner />
    </>
  );
}

function Overview() {
  return (
    <main>
      <Health />
      <div class="cards">
        <Uplink />
        <Buffer />
        <Storage />
      </div>
      {status.value && (
        <>
          <Devices />
          <Footer />
        </>
      )}
    </main>
  );
}

function Login() {
  const token = useSignal("");
  const submit = (e: Event) => {
    e.preventDefault();
    if (token.value.trim()) enter(token.value.trim());
  };
  return (
    <main>
      <form class="login" onSubmit={submit}>
        <h2>This gateway shows its readings to those who have its token</h2>
        <p role="alert">{login.value.sentence}</p>
        {wantsToken(login.value) && (
          <>
            <label for="token">Token</label>
            <input
              id="token"
              type="password"
              autocomplete="current-password"
              value={token.value}
              onInput={(e) => (token.value = e.currentTarget.value)}
            />
            <button type="submit">Show the readings</button>
          </>
        )}
      </form>
    </main>
  );
}

const root = document.getElementById("app");
if (root) render(<App />, root);
start();
