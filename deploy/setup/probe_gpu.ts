/**
 * Asks WebGPU for an adapter and prints one line of JSON. Run as a child process: a broken driver takes the process
 * that asks down with it.
 */
const gpuAdapter = await navigator.gpu?.requestAdapter() ?? null;
const { description = "", vendor = "", architecture = "" } = gpuAdapter?.info ?? {};
console.log(JSON.stringify({
  found: gpuAdapter !== null,
  name: description || `${vendor} ${architecture}`.trim() || "unnamed",
  isCpu: gpuAdapter?.info.isFallbackAdapter ?? false,
}));
