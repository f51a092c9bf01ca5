import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "@/App";
import { listen } from "@/commands";
import { start } from "@/session/start";
import "@/theme.css";

listen();
start();
const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
