/** The environment of child processes: ours, without variables that would point them at a different fleet. */

const foreign = ["NATS_URL", "NATS_CREDS"];

/** @param natsServerPath the binary that set-up found */
export function childEnvironment(
  own: Record<string, string>,
  natsServerPath: string,
): Record<string, string> {
  const kept = Object.entries(own).filter(([name]) =>
    !foreign.includes(name) && !name.startsWith("LORAFLEET_")
  );
  return { ...Object.fromEntries(kept), LORAFLEET_NATS_SERVER: natsServerPath };
}
