import { testJobStore } from "../jobs/job_store_contract.ts";
import { createMemoryJobStore } from "./memory_job_store.ts";

testJobStore("memory job store", createMemoryJobStore);
