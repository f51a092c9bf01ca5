/** A button with an icon: its label is read out and shown as a tooltip, and stands beside it where there is room. */
import type { ReactNode } from "react";
import { Icon, type IconName } from "@/panels/Icon";

interface Props {
  readonly icon: IconName;
  readonly label: string;
  readonly onClick: () => void;
  /** Shown beside the icon; without it there is only the icon. */
  readonly children?: ReactNode;
  readonly disabled?: boolean;
  readonly pressed?: boolean;
  readonly className?: string;
}

export function Button({ icon, label, onClick, children, disabled, pressed, className = "" }: Props) {
  return (
    <button
      type="button"
      className={`button ${className}`}
      title={label}
      aria-label={label}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
      {children !== undefined && <span>{children}</span>}
    </button>
  );
}
