/** `deno task service`: a worker or coordinator that starts with this machine. */
import { dirname, fromFileUrl } from "@std/path";
import { LoraFleetError } from "../../shared/errors.ts";
import { runCommand, runMain } from "../machine/command.ts";
import { install, type Run, uninstall } from "./apply.ts";
import { explain } from "./explain.ts";
import { parseServiceOptions, type ServiceOptions, USAGE } from "./options.ts";
import { type Place, planService } from "./plan.ts";
import type { Role } from "./role.ts";

const run: Run = async ([program, ...args]) =>
  (await new Deno.Command(program!, { args, stdin: "null" }).spawn().status).code;

function main(options: ServiceOptions): Promise<number> {
  return runCommand("service", async () => {
    const { action, role } = options;
    const variables = { ...inherited(), ...options.variables };
    const plan = planService(role, thisPlace(), variables);
    if (action === "uninstall") {
      await uninstall(plan, run);
      return console.log(`${plan.name} is removed; its data and cache stay`);
    }
    if (action === "status") return void await run(plan.status);
    assertComplete(role, variables);
    console.log(explain(plan, Object.entries(variables).filter(isSecret).map(([, value]) => value)));
    if (action === "show") return;
    if (!options.isConfirmed && !confirm("Do that?")) return console.log("nothing is done");
    await install(plan, run);
    console.log(`${plan.name} runs. deno task service uninstall ${role} removes it`);
  });
}

/** What is set now and means something to our programs. */
function inherited(): Record<string, string> {
  const kept = Object.entries(Deno.env.toObject()).filter(([name]) =>
    /^(LORAFLEET_|HF_|NATS_|NVIDIA_)/.test(name)
  );
  return Object.fromEntries(kept);
}

const isSecret = ([name]: readonly [string, string]) => /KEY|TOKEN|JOIN|SECRET|PASSWORD/.test(name);

function assertComplete(role: Role, variables: Readonly<Record<string, string>>): void {
  if (role === "coordinator" || variables["LORAFLEET_JOIN"] !== undefined) return;
  const message = "a worker needs the URL of its coordinator: --join http://host:port/join/<token>";
  throw new LoraFleetError("usage", message, { param: "join" });
}

function thisPlace(): Place {
  const os = Deno.build.os === "darwin" ? "macos" : Deno.build.os === "windows" ? "windows" : "linux";
  return {
    os,
    home: Deno.env.get(os === "windows" ? "USERPROFILE" : "HOME") ?? ".",
    uid: Deno.uid() ?? 0,
    deno: Deno.execPath(),
    root: dirname(dirname(dirname(fromFileUrl(import.meta.url)))),
  };
}

await runMain("service", USAGE, parseServiceOptions, main);
