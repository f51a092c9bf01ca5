/** Every text that the editor shows, in one place, so that it can be translated. */

export const strings = {
  app: "GraphEngine",
  canvas: {
    label: "Workflow graph",
    empty: "Double-click, or press Space, to add a node.",
  },
} as const;
