/** What is selected, in full: titles, notes, colours, every input with its widget. */
export function Inspector() {
  return null;
}
