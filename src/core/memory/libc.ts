/** libc, for the few calls that Bun does not offer. */
import { dlopen, FFIType } from "bun:ffi";

/** Opens libc by the names of glibc and musl. @throws the last error */
export function libc() {
  const musl = process.arch === "arm64" ? "aarch64" : "x86_64";
  let reason: unknown;
  for (const name of ["libc.so.6", `libc.musl-${musl}.so.1`, `ld-musl-${musl}.so.1`]) {
    try {
      const { i32, u32, u64, i64, ptr: pointer } = FFIType;
      return dlopen(name, {
        socket: { args: [i32, i32, i32], returns: i32 },
        clock_gettime: { args: [i32, pointer], returns: i32 },
        sendto: { args: [i32, pointer, u64, i32, pointer, u32], returns: i64 },
        getpagesize: { args: [], returns: i32 },
        madvise: { args: [u64, u64, i32], returns: i32 },
        syscall: { args: [i64, i64], returns: i64 },
        ioctl: { args: [i32, u64, pointer], returns: i32 },
      }).symbols;
    } catch (error) {
      reason = error;
    }
  }
  throw reason;
}
