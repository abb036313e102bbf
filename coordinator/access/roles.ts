/** What a key may do. Pure: (role, method, path) → yes or the role that is needed. */

/** Each may do what the ones before it may. */
export const ROLES = ["read", "submit", "admin"] as const;
export type Role = typeof ROLES[number];

/** Lists of who may come in; whoever reads them could tell which credential to go after. */
const ADMIN_ONLY = /^\/v1\/(?:api-keys|join-tokens)(?:\/|$)/;
/** What users make. Everything else that changes something, such as the fleet, is for admins: unknown routes too. */
const USERS_OWN = /^\/v1\/(?:files|uploads|fine_tuning|models)(?:\/|$)/;

/** The least role that a request needs. */
export function roleNeeded(method: string, path: string): Role {
  if (ADMIN_ONLY.test(path)) return "admin";
  if (method === "GET" || method === "HEAD") return "read";
  return USERS_OWN.test(path) ? "submit" : "admin";
}

export function mayAct(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}
