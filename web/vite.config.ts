import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { mock } from "./mock/server";

/** Where a running `graphengine serve` listens, for `npm run dev`; without it the mock answers. */
const server = process.env["GRAPHENGINE_SERVER"];

export default defineConfig({
  plugins: [react(), ...(server ? [] : [mock()])],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: { sourcemap: false, target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: server ? { proxy: { "/api": { target: server, ws: true }, "/health": server } } : {},
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});
