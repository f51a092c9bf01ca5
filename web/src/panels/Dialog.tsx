/** A dialog over everything: Escape and a press outside close it, and the focus stays inside. */
import { useEffect, useId, useRef, type ReactNode } from "react";
import { Button } from "@/panels/Button";
import { strings } from "@/strings";

interface Props {
  readonly title: string;
  readonly onClose: () => void;
  readonly className?: string;
  readonly children: ReactNode;
}

export function Dialog({ title, onClose, className = "", children }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
  }, []);
  return (
    // A press on the dialog itself is one on the backdrop; the keyboard has Escape for it.
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions
    <dialog
      ref={ref}
      className={`dialog ${className}`}
      aria-labelledby={heading}
      onClose={onClose}
      onClick={(event) => event.target === ref.current && ref.current.close()}
      onKeyDown={(event) => event.stopPropagation()}
    >
      <header className="panel-head">
        <h2 id={heading}>{title}</h2>
        <Button icon="close" label={strings.panels.close} onClick={() => ref.current?.close()} />
      </header>
      {children}
    </dialog>
  );
}
