import { assertEquals, assertStringIncludes } from "@std/assert";
import { decideJoin, type JoinAttempt } from "./access_decision.ts";

const now = 10_000_000;
const token = { id: "join-1", name: "pods", hash: "", createdAt: 0, expiresAt: null, revokedAt: null };
const known = {
  publicKey: "U",
  worker: "w-1",
  tokenId: "join-1",
  joinedAt: 0,
  expiresAt: now,
  revokedAt: null,
};

function decide(attempt: Partial<JoinAttempt>) {
  return decideJoin({ token, known: null, isMember: false, ...attempt }, now);
}

Deno.test("a valid token admits new and known workers", () => {
  assertEquals(decide({}), { isAllowed: true, reason: 'the join token "pods" is good' });
  assertEquals(decide({ known }).isAllowed, true);
  assertEquals(decide({ token: { ...token, expiresAt: now + 1 } }).isAllowed, true);
});

Deno.test("without a valid token only members of the fleet may stay", () => {
  const bad: [JoinAttempt["token"], string][] = [
    [null, "the join token is not valid"],
    [{ ...token, revokedAt: now - 5000 }, 'the join token "pods" was revoked 5 s ago'],
    [{ ...token, expiresAt: now - 600_000 }, 'the join token "pods" has expired 10 min ago'],
  ];
  for (const [token, part] of bad) {
    const { isAllowed, reason } = decide({ token, known });
    assertEquals(isAllowed, false);
    assertStringIncludes(reason, part);
    assertStringIncludes(reason, "POST /v1/join-tokens makes one");
    assertEquals(decide({ token, known, isMember: true }).reason, "it is in the fleet already");
  }
});

Deno.test("a revoked worker is refused whatever it presents", () => {
  const { isAllowed, reason } = decide({ known: { ...known, revokedAt: now - 7_200_000 }, isMember: true });
  assertEquals([isAllowed, reason], [false, "worker w-1 was revoked 2 h ago: it can no longer join"]);
});
