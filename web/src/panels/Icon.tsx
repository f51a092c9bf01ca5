/** Icons, drawn on a grid of 16 in one stroke width. They say nothing to a screen reader: their button does. */

const PATHS = {
  templates: "M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5h-4.5zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5h-4.5z",
  queue: "M2.5 4h11M2.5 8h11M2.5 12h6.5",
  gallery: "M2.5 3h11v10h-11zM2.5 11l3-3 2.5 2.5 2-1.5 3.5 3M10.2 6.2h.1",
  problems: "M8 2.2 14.2 13.2H1.8zM8 6.3v3.4M8 11.5v.1",
  models: "M8 1.8 13.8 5v6L8 14.2 2.2 11V5zM2.2 5 8 8.2 13.8 5M8 8.2v6",
  settings: "M2 4.5h6M12 4.5h2M2 11.5h2M8 11.5h6M10 2.8v3.4M6 9.8v3.4",
  shortcuts: "M1.8 4h12.4v8H1.8zM4.3 6.6h.1M6.8 6.6h.1M9.3 6.6h.1M11.8 6.6h.1M5 9.5h6",
  more: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  close: "m4 4 8 8M12 4l-8 8",
  add: "M8 3v10M3 8h10",
  run: "M5 3.2v9.6L12.6 8z",
  stop: "M4.2 4.2h7.6v7.6H4.2z",
  undo: "M5.5 3 2.5 6l3 3M2.7 6H10a3.5 3.5 0 0 1 0 7H6",
  redo: "m10.5 3 3 3-3 3M13.3 6H6a3.5 3.5 0 0 0 0 7h4",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  form: "M2.5 3h11v3.5h-11zM2.5 9.5h11V13h-11z",
  graph: "M2 3h4.5v4H2zM9.5 9H14v4H9.5zM6.5 5h1.2A1.3 1.3 0 0 1 9 6.3v3.4A1.3 1.3 0 0 0 9.5 11",
  pause: "M5 3.5v9M11 3.5v9",
  grip: "M6 4h.1M10 4h.1M6 8h.1M10 8h.1M6 12h.1M10 12h.1",
  download: "M8 2.5v7.5M4.8 7 8 10.2 11.2 7M3 13.3h10",
  left: "M10 3 5 8l5 5",
  right: "m6 3 5 5-5 5",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.4 10.4l3.3 3.3",
  compare: "M8 2v12M2.5 4h5.5M2.5 4v8h5.5M10.5 4h3v8h-3",
  trash: "M3 4.5h10M6.2 4.5V2.8h3.6v1.7M4.3 4.5l.6 8.7h6.2l.6-8.7",
  check: "m3 8.5 3.3 3.3L13 4.8",
  seed: "M3 3h10v10H3zM5.7 5.7h.1M10.3 10.3h.1M8 8h.1M10.3 5.7h.1M5.7 10.3h.1",
  again: "M13 8a5 5 0 1 1-1.5-3.5M13 2.5v3h-3",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
