import { afterEach, expect, test } from "bun:test";
import { goPastProxies, proxyVariable } from "../../../src/core/net/proxies.ts";

afterEach(() => goPastProxies({}));

const proxy = "http://proxy.example:3128";
const http = "http://influx.example:8086";

test.each([
  [http, { HTTP_PROXY: proxy }, "HTTP_PROXY"],
  [http, { http_proxy: proxy, HTTP_PROXY: proxy }, "http_proxy"],
  [http, { HTTPS_PROXY: proxy }, undefined],
  ["https://influx.example", { HTTPS_PROXY: proxy, HTTP_PROXY: proxy }, "HTTPS_PROXY"],
  [http, {}, undefined],
  [http, { HTTP_PROXY: "" }, undefined],
  [http, { HTTP_PROXY: proxy, NO_PROXY: "a.example, influx.example" }, undefined],
  [http, { HTTP_PROXY: proxy, no_proxy: "EXAMPLE" }, undefined],
  [http, { HTTP_PROXY: proxy, no_proxy: ".example" }, undefined],
  [http, { HTTP_PROXY: proxy, no_proxy: "influx.example:8086" }, undefined],
  [http, { HTTP_PROXY: proxy, no_proxy: "influx.example:80,flux.example" }, "HTTP_PROXY"],
  [http, { HTTP_PROXY: proxy, no_proxy: "*" }, undefined],
  ["http://influx.example.:8086", { HTTP_PROXY: proxy }, "HTTP_PROXY"],
  ["http://127.0.0.1:8086", { HTTP_PROXY: proxy }, undefined],
  ["http://localhost:8086", { HTTP_PROXY: proxy }, undefined],
  ["http://[::1]:8086", { HTTP_PROXY: proxy }, undefined],
])("%s with %j: %p", (url, env, variable) => {
  goPastProxies({ ...env });
  expect(proxyVariable(url)).toBe(variable);
});
