/** Messages at the edge: what failed, with the server's own words, and what was done. */
import { Button } from "@/panels/Button";
import { useNotices } from "@/store/notices";
import { strings } from "@/strings";

export function Notices() {
  const { notices, dismiss } = useNotices();
  return (
    <section className="notices" aria-label={strings.panels.notices.label} aria-live="polite">
      {notices.map((notice) => (
        <div key={notice.id} className={`notice ${notice.kind}`} role={notice.kind === "error" ? "alert" : "status"}>
          <div>
            <strong>{notice.title}</strong>
            {notice.detail && <p>{notice.detail}</p>}
            {notice.action && (
              <button
                type="button"
                className="link"
                onClick={() => {
                  dismiss(notice.id);
                  notice.action?.run();
                }}
              >
                {notice.action.label}
              </button>
            )}
          </div>
          <Button icon="close" label={strings.panels.notices.dismiss} onClick={() => dismiss(notice.id)} />
        </div>
      ))}
    </section>
  );
}
