/** A banner while the server does not answer; it waits a moment, so that a blink of the line shows nothing. */
import { useEffect, useState } from "react";
import { useServer } from "@/live/link";
import { strings } from "@/strings";

const MOMENT = 700;

export function Banner() {
  const away = useServer((state) => state.link !== "open");
  const stranger = useServer((state) => state.stranger);
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!away) return;
    const timer = setTimeout(() => setShown(true), MOMENT);
    return () => {
      clearTimeout(timer);
      setShown(false);
    };
  }, [away]);
  return (
    <div className="banner-place" role="status">
      {shown && (
        <div className="banner">
          <span>{stranger ? strings.panels.link.token : strings.panels.link.away}</span>
          <button type="button" className="link" onClick={() => window.dispatchEvent(new Event("online"))}>
            {strings.panels.link.retry}
          </button>
        </div>
      )}
    </div>
  );
}
