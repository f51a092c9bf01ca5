import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "@/App";
import { listen } from "@/commands";
import "@/theme.css";

listen();
const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
