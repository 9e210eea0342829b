/** A token that was just made: shown once, to be copied or read by a camera. */
import { useRef, useState } from "hono/jsx/dom";
import { renderSVG } from "uqr";
import { useEffect } from "./effect.ts";

interface TokenProps {
  readonly device: string;
  readonly token: string;
  /** The device had one before. */
  readonly isAnother: boolean;
  readonly done: () => void;
}

export function Token({ device, token, isAnother, done }: TokenProps) {
  const [said, setSaid] = useState("Copy");
  const region = useRef<HTMLDivElement>(null);
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    // Of the one before.
    setSaid("Copy");
    // It appears above a table of fifty rows, and is not shown again.
    region.current?.focus();
  }, [token]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(token);
      setSaid("Copied");
    } catch {
      // Browsers have a clipboard on HTTPS and on this host alone.
      if (place.current !== null) window.getSelection()?.selectAllChildren(place.current);
      setSaid("Selected, to be copied");
    }
  };
  const code = `data:image/svg+xml;utf8,${encodeURIComponent(renderSVG(token))}`;
  return (
    <div class="token" role="region" aria-label="The new token" ref={region} tabIndex={-1}>
      <p>
        This is the token of {device}. It is not shown again
        {isAnother ? "; the one before it stays good for an hour, or until yet another is made" : ""}.
      </p>
      <p>
        <code id="token" ref={place}>
          {token}
        </code>
        <button type="button" onClick={copy}>
          {said}
        </button>
        <button type="button" onClick={done}>
          Hide
        </button>
      </p>
      <img src={code} alt={`The token of ${device} as a QR code`} width={160} height={160} />
    </div>
  );
}
