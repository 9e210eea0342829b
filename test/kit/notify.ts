/** systemd's end of NOTIFY_SOCKET: a real datagram socket, bound through libc, since Bun has none. */
import { dlopen, FFIType, ptr } from "bun:ffi";

export interface NotifySocket {
  /** The notifications that it got, in order. */
  readonly told: string[];
  close(): void;
}

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
const lookEveryMs = 10;

/** `path`: in the form of NOTIFY_SOCKET, with "@" first if it is abstract. */
export function notifySocket(path: string): NotifySocket {
  const { symbols: libc } = dlopen("libc.so.6", {
    socket: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
    bind: { args: [FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
    recv: { args: [FFIType.i32, FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i64 },
    close: { args: [FFIType.i32], returns: FFIType.i32 },
  });
  const name = path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`;
  const address = Buffer.from(`\x01\0${name}`, "latin1");
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
  if (libc.bind(fd, ptr(address), address.length) !== 0) throw new Error(`${path} cannot be bound`);

  const told: string[] = [];
  const bytes = Buffer.alloc(4096);
  const look = () => {
    for (;;) {
      const length = Number(libc.recv(fd, ptr(bytes), bytes.length, MSG_DONTWAIT));
      if (length < 0) return;
      told.push(bytes.toString("utf8", 0, length));
    }
  };
  const timer = setInterval(look, lookEveryMs);
  return {
    told,
    close() {
      clearInterval(timer);
      libc.close(fd);
    },
  };
}
