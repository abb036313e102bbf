/** The header of a safetensors file, which both sides read (shared/model/safetensors_header.ts). */
export * from "../../shared/model/safetensors_header.ts";
