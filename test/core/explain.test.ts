/** Errors in words that an operator can act on, not in those of the runtime for who programs with it. */
import { expect, test } from "bun:test";
import { explain } from "../../src/core/log/log.ts";

const ca =
  "no CA that we trust has signed it, so name its CA's file (a setting that ends in _TLS_CA; sslrootcert in DATABASE_URL)";

test.each([
  ["Unable to connect. Is the computer able to access the url?", "cannot connect"],
  [
    "ECONNREFUSED: Unable to connect. Is the computer able to access the url?",
    "it refuses the connection (ECONNREFUSED): nothing listens there",
  ],
  [
    "EHOSTUNREACH: Was there a typo in the url or port?",
    "it cannot be reached (EHOSTUNREACH): its host or the network is down",
  ],
  [
    "connect ECONNREFUSED 10.0.0.1:5432",
    "10.0.0.1:5432 refuses the connection or cannot be reached (ECONNREFUSED): nothing listens there, or its host or the network is down",
  ],
  [
    "connect ECONNREFUSED fe80::1:5432",
    "[fe80::1]:5432 refuses the connection or cannot be reached (ECONNREFUSED): nothing listens there, or its host or the network is down",
  ],
  [
    "The socket connection was closed unexpectedly. For more information, pass `verbose: true` in the second argument to fetch()",
    "The socket connection was closed unexpectedly.",
  ],
  ["self signed certificate", `self signed certificate: ${ca}`],
  ["self-signed certificate in certificate chain", `self-signed certificate in certificate chain: ${ca}`],
  ["unable to verify the first certificate", `unable to verify the first certificate: ${ca}`],
  ["unable to get local issuer certificate", `unable to get local issuer certificate: ${ca}`],
  ["getaddrinfo ENOTFOUND db.example", "the host name db.example does not resolve"],
  ["getaddrinfo EAI_AGAIN db.example", "the name server does not answer for db.example"],
  ["ENOTDIR: not a directory, stat '/a/file/x'", "there is no /a/file/x: a part of that path is a file"],
  [
    "ENOENT: no such file or directory, statfs '/data'",
    "there is no directory /data any more: put it back (mount its disk), or stop this gateway",
  ],
  [
    "connect ENOENT /run/postgresql/.s.PGSQL.5432",
    "there is no socket /run/postgresql/.s.PGSQL.5432: no server listens there",
  ],
  ["read ECONNRESET", "the connection was closed from there (ECONNRESET)"],
  ["write EPIPE", "the connection was closed from there (EPIPE)"],
  ["write CONNECT_TIMEOUT db:8080", "db:8080 does not answer, or not as PostgreSQL does"],
  ['Malformed_HTTP_Response fetching "http://db:22/ping".', "what listens there does not speak HTTP"],
  [
    "error:100000f7:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER",
    "what listens there does not speak TLS",
  ],
  [
    "error:10000415:SSL routines:OPENSSL_internal:SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "the server refuses our client certificate, or wants one (CERTIFICATE_EXPIRED)",
  ],
  [
    "error:10000418:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA",
    "the server refuses our client certificate, or wants one (UNKNOWN_CA)",
  ],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID fetching "https://influx.example:8086/api/v3/write_lp?db=a".',
    "the server's certificate is not for the host influx.example:8086",
  ],
  ["the certificate has expired", "the certificate has expired"],
  ["no connection to a: certificate has expired", "no connection to a: the server's certificate has expired"],
  [
    "FETCH timed out",
    "FETCH timed out: over a slow line it is tried again in smaller pieces; if that lasts, set KAFKA_TIMEOUT_MS higher",
  ],
  [
    "PRODUCE timed out",
    "PRODUCE timed out: over a slow line it is tried again in smaller pieces; if that lasts, set KAFKA_TIMEOUT_MS higher",
  ],
  ["METADATA timed out", "METADATA timed out"],
  ["certificate is not yet valid", "the server's certificate is not yet valid: check this host's clock"],
])("%s", (theirs, ours) => {
  expect(explain(new Error(theirs))).toBe(ours);
  expect(explain(new Error("looking", { cause: new Error(theirs) }))).toBe(`looking: ${ours}`);
  // An outage quotes it, and is explained in its turn.
  expect(explain(new Error(`InfluxDB at db: ${ours}`))).toBe(`InfluxDB at db: ${ours}`);
});
