#!/usr/bin/env node
// How a Node program runs one command in bivy and reads the record. Only Node's own modules are used.
//
//     run-in-bivy.mjs [BIVY-OPTION...] -- COMMAND [ARG...]     BIVY: the program, default "bivy" on the PATH
import { spawn } from "node:child_process";
import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { realpathSync } from "node:fs";

// Gives { record, stdout, stderr }. The record says how the command ended; an exit status alone cannot.
export async function runInBivy(command, ...options) {
    const child = spawn(process.env.BIVY ?? "bivy", ["run", "--report", "fd:3", ...options, "--", ...command],
        { stdio: ["ignore", "pipe", "pipe", "pipe"] });
    const started = once(child, "spawn"); // rejects when there is no such program
    const [text, stdout, stderr] = await Promise.all([child.stdio[3], child.stdout, child.stderr].map(buffer));
    await started;
    if (text.length === 0) { // a wrong --report option, or bivy itself was killed
        throw new Error(`bivy wrote no record: ${stderr}`);
    }
    return { record: JSON.parse(text), stdout, stderr };
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
    const words = process.argv.slice(2);
    const end = words.indexOf("--");
    const { record, stdout, stderr } = await runInBivy(words.slice(end + 1), ...words.slice(0, Math.max(end, 0)));
    process.stderr.write(stderr);
    if (record.error) console.error(`bivy could not run it: ${record.error.message}`);
    console.log(JSON.stringify({ outcome: record.outcome, exit_code: record.exit_code, stdout: stdout.toString(),
        truncated: record.stdout.truncated, limits_hit: record.limits_hit }));
}
