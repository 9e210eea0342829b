/**
 * The words for a connection that is not made: one vocabulary for all systems.
 *
 * Bun 1.4.5 says ECONNREFUSED of a socket also if the host is off, the network is down or there is no route (fetch alone keeps
 * the true code), so that of a socket both are named.
 */
export const refusedText = "refuses the connection (ECONNREFUSED): nothing listens there";
export const unreachedText =
  "refuses the connection or cannot be reached (ECONNREFUSED): nothing listens there, or its host or the network is down";
