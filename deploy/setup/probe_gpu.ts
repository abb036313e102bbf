/**
 * Requests a WebGPU adapter and prints one line of JSON. Runs as a child process, because a broken driver crashes the process
 * that uses it.
 */
const gpuAdapter = await navigator.gpu?.requestAdapter() ?? null;
const { limits } = gpuAdapter ?? {};
const { description = "", vendor = "", architecture = "" } = gpuAdapter?.info ?? {};
console.log(JSON.stringify({
  found: gpuAdapter !== null,
  name: description || `${vendor} ${architecture}`.trim() || "unnamed",
  isCpu: gpuAdapter?.info.isFallbackAdapter ?? false,
  limits: {
    maxBufferSize: limits?.maxBufferSize ?? 0,
    maxStorageBufferBindingSize: limits?.maxStorageBufferBindingSize ?? 0,
    maxStorageBuffersPerShaderStage: limits?.maxStorageBuffersPerShaderStage ?? 0,
    maxComputeWorkgroupStorageSize: limits?.maxComputeWorkgroupStorageSize ?? 0,
    maxComputeInvocationsPerWorkgroup: limits?.maxComputeInvocationsPerWorkgroup ?? 0,
    maxComputeWorkgroupSizeX: limits?.maxComputeWorkgroupSizeX ?? 0,
  },
}));
