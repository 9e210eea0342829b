/** From when on something is a risk: for the sentence of the gateway, the alerts, and the page, which draws them. */

/** How full the spool may be. */
export const spoolShareMax = 0.8;
/** A certificate that ends sooner should be renewed by now. */
export const certificateDaysMin = 14;
/** Of what came in the last ten minutes. */
export const rejectedShareMax = 0.05;
