/** Questions to the person: a text, or yes and no. One at a time, in a dialog. */
import { useId, useState } from "react";
import { create } from "zustand";
import { Dialog } from "@/panels/Dialog";
import { strings } from "@/strings";

interface Question {
  readonly title: string;
  /** What stands on the button that goes on. */
  readonly yes: string;
  /** The text to begin with; null where none is asked. */
  readonly text: string | null;
  readonly pattern?: string;
  readonly answer: (text: string | null) => void;
}

const useQuestion = create<{ readonly question: Question | null }>()(() => ({ question: null }));

/** Ask for a text; null if the person closes the dialog. */
export function askText(title: string, text: string, yes: string, pattern?: string): Promise<string | null> {
  return new Promise((resolve) => {
    useQuestion.setState({ question: { title, yes, text, answer: resolve, ...(pattern ? { pattern } : {}) } });
  });
}

/** Ask whether to go on. */
export function askSure(title: string, yes: string): Promise<boolean> {
  return new Promise((resolve) => {
    useQuestion.setState({ question: { title, yes, text: null, answer: (text) => resolve(text !== null) } });
  });
}

/** The question that is asked now. */
export function QuestionDialog() {
  const question = useQuestion((state) => state.question);
  return question && <Asked key={question.title} question={question} />;
}

function Asked({ question }: { readonly question: Question }) {
  const [text, setText] = useState(question.text ?? "");
  const field = useId();
  const end = (answer: string | null) => {
    useQuestion.setState({ question: null });
    question.answer(answer);
  };
  return (
    <Dialog title={question.title} onClose={() => end(null)} className="question">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          end(text);
        }}
      >
        {question.text !== null && (
          <input
            id={field}
            aria-label={question.title}
            value={text}
            required
            maxLength={200}
            pattern={question.pattern}
            onFocus={(event) => event.target.select()}
            onChange={(event) => setText(event.target.value)}
          />
        )}
        <div className="row end">
          <button type="button" className="button" onClick={() => end(null)}>{strings.panels.cancel}</button>
          <button type="submit" className="button primary">{question.yes}</button>
        </div>
      </form>
    </Dialog>
  );
}
