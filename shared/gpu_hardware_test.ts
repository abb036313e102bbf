import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "./errors.ts";
import { findGpuHardware, fixFor, type MachineFiles, refuseIdleGpu } from "./gpu_hardware.ts";

/** A machine with these files; an empty text stands for a device. */
function machine(files: Readonly<Record<string, string>>): MachineFiles {
  const paths = Object.keys(files);
  return {
    exists: (path) => path in files,
    list: (folder) => [
      ...new Set(
        paths.filter((path) => path.startsWith(`${folder}/`)).map((path) =>
          path.slice(folder.length + 1).split("/")[0]!
        ),
      ),
    ],
    text: (path) => files[path] ?? null,
  };
}

const udev = (maker: string, model: string, what = "Display controller") =>
  `E:ID_PCI_CLASS_FROM_DATABASE=${what}\nE:ID_VENDOR_FROM_DATABASE=${maker}\nE:ID_MODEL_FROM_DATABASE=${model}\n`;

Deno.test("no GPU is found on a machine without one", () => {
  const plain = machine({
    "/dev/null": "",
    "/dev/nvidiactl": "",
    "/sys/class/drm/card0/device/vendor": "0x1234\n",
    "/sys/class/drm/renderD128/device/vendor": "0x8086\n",
    "/dev/dri/renderD128": "",
    "/run/udev/data/+pci:0000:00:02.0": udev("Intel Corporation", "Alder Lake"),
    "/run/udev/data/+pci:0000:00:03.0": udev(
      "NVIDIA Corporation",
      "GA102 High Definition Audio",
      "Multimedia controller",
    ),
  });
  assertEquals(findGpuHardware(plain), []);
  assertEquals(findGpuHardware(machine({})), []);
});

Deno.test("device files, the udev database and the driver's libraries each reveal a GPU", () => {
  const evidence = (files: Record<string, string>) => findGpuHardware(machine(files));
  assertEquals(evidence({ "/dev/nvidia0": "", "/dev/nvidia1": "" }), [
    { vendor: "NVIDIA", evidence: "/dev/nvidia0" },
  ]);
  assertEquals(
    evidence({ "/sys/class/drm/renderD129/device/vendor": "0x1002\n", "/dev/dri/renderD129": "" }),
    [{ vendor: "AMD", evidence: "/dev/dri/renderD129" }],
  );
  assertEquals(evidence({ "/run/udev/data/+pci:0000:01:00.0": udev("NVIDIA Corporation", "AD102") }), [
    { vendor: "NVIDIA", evidence: "NVIDIA Corporation AD102 (PCI 0000:01:00.0)" },
  ]);
  assertEquals(evidence({ "/usr/lib/x86_64-linux-gnu/libcuda.so.1": "" }), [
    { vendor: "NVIDIA", evidence: "/usr/lib/x86_64-linux-gnu/libcuda.so.1" },
  ]);
  assertEquals(evidence({ "/opt/rocm/.info/version": "6.0" }), [{ vendor: "AMD", evidence: "/opt/rocm" }]);
});

Deno.test("a GPU of the host that the container cannot open is not the container's", () => {
  assertEquals(findGpuHardware(machine({ "/sys/class/drm/renderD128/device/vendor": "0x1002\n" })), []);
});

Deno.test("the fix fits the machine", () => {
  const nvidia = { vendor: "NVIDIA", evidence: "/dev/nvidia0" } as const;
  const fix = (env: Record<string, string>) => fixFor(nvidia, (name) => env[name]);
  assertStringIncludes(
    fix({ NVIDIA_VISIBLE_DEVICES: "all", NVIDIA_DRIVER_CAPABILITIES: "compute,utility" }),
    "NVIDIA_DRIVER_CAPABILITIES=all (it is compute,utility)",
  );
  assertStringIncludes(fix({ NVIDIA_VISIBLE_DEVICES: "0" }), "it is unset");
  for (
    const env of [{}, { NVIDIA_DRIVER_CAPABILITIES: "all" }, {
      NVIDIA_DRIVER_CAPABILITIES: "compute, graphics",
    }]
  ) {
    assertStringIncludes(fix(env), "nvidia-vulkan-icd");
  }
  assertStringIncludes(
    fixFor({ vendor: "AMD", evidence: "/opt/rocm" }, () => undefined),
    "mesa-vulkan-drivers",
  );
});

Deno.test("the CPU is refused beside a GPU, and only there", () => {
  refuseIdleGpu("llvmpipe", [], () => undefined);
  for (const [adapter, words] of [["llvmpipe", `only the CPU ("llvmpipe")`], [null, "no adapter"]] as const) {
    const error = assertThrows(
      () => refuseIdleGpu(adapter, [{ vendor: "NVIDIA", evidence: "/dev/nvidia0" }], () => undefined),
      LoraFleetError,
    );
    assertEquals(error.code, "no_gpu");
    for (const word of [words, "/dev/nvidia0", "--ignore-gpu"]) assertStringIncludes(error.message, word);
  }
});
