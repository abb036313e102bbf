/** The programs that may be a service. */
export type Role = "worker" | "coordinator";
