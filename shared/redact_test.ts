import { assertEquals } from "@std/assert";
import { createRedactor, redactForms } from "./redact.ts";

Deno.test("known secrets are hidden: plain, in a URL and in a header", () => {
  const secrets = createRedactor();
  secrets.add("pass word/1", null, undefined, "", "key-00001");
  assertEquals(
    secrets.redact("pass word/1 pass%20word%2F1 cGFzcyB3b3JkLzE="),
    "[redacted] [redacted] [redacted]",
  );
  assertEquals(secrets.redact("it is key-00001."), "it is [redacted].");
});

Deno.test("what is redacted by value is not redacted again by form", () => {
  const secrets = createRedactor();
  secrets.add("abcDEF123");
  assertEquals(secrets.redact("(http://h/join/abcDEF123): no"), "(http://h/join/[redacted]): no");
});

Deno.test("the longer of two secrets wins; a short word is no secret", () => {
  const secrets = createRedactor();
  secrets.add("abcdef", "abcdefghij", "job");
  assertEquals(secrets.redact("abcdefghij abcdef job"), "[redacted] [redacted] job");
});

for (
  const [what, text, expected] of [
    ["a join URL", "http://h:8787/join/Zm9vYmFy failed", "http://h:8787/join/[redacted] failed"],
    [
      "a join URL in fetch's own message",
      `error sending request for url (http://127.0.0.1:9/join/abcDEF123): refused`,
      "error sending request for url (http://127.0.0.1:9/join/[redacted]): refused",
    ],
    [
      "a quoted join URL",
      `--join is "ftp://h/join/abc"; a URL`,
      `--join is "ftp://h/join/[redacted]"; a URL`,
    ],
    ["a bearer token", "authorization: Bearer abc.def-1", "authorization: Bearer [redacted]"],
    ["credentials of a URL", "nats://user:pa:ss@broker:4222", "nats://[redacted]@broker:4222"],
    ["a token as a URL's user", "tls://s3cr3t@broker", "tls://[redacted]@broker"],
    [
      "a signed URL",
      "https://cdn/x?X-Amz-Credential=AK%2F1&X-Amz-Date=1&X-Amz-Signature=ab12",
      "https://cdn/x?X-Amz-Credential=[redacted]&X-Amz-Date=1&X-Amz-Signature=[redacted]",
    ],
    ["a JWT", "the token eyJhbGciOiJI.eyJzdWIi.c2ln is", "the token [redacted] is"],
    ["an NKey seed", `seed SU${"A".repeat(56)} end`, "seed [redacted] end"],
    ["a hub's token", "hf_abcDEF123456", "[redacted]"],
    ["an API key", "sk-proj-abc_123-XYZ", "[redacted]"],
    ["a key of RunPod", "rpa_ABC123DEF456", "[redacted]"],
    [
      "a credentials file",
      "x -----BEGIN USER NKEY SEED-----\nSUA\n------END USER NKEY SEED------ y",
      "x [redacted] y",
    ],
  ] as const
) {
  Deno.test(`the form of a secret: ${what}`, () => assertEquals(redactForms(text), expected));
}

Deno.test("text that only resembles a secret stays", () => {
  for (
    const text of [
      "POST /join/ is missing",
      "a URL of the form http://host:port/join/<token> is needed",
      "the file a@b of http://host/path",
      "skipped 3 tokens, basic authentication is off",
      "user U".padEnd(58, "A"),
      "https://hub/api/models?full=true&limit=5",
    ]
  ) assertEquals(redactForms(text), text);
});
