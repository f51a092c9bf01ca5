/** Answers `GET /api/nodes` and the workflows in development, when no server runs. Never part of a build. */
import { readFileSync, readdirSync } from "node:fs";
import type { Plugin } from "vite";

const WORKFLOWS = new URL("../../workflows/", import.meta.url);

export function mock(): Plugin {
  return {
    name: "mock-server",
    apply: "serve",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const url = request.url?.split("?")[0] ?? "";
        const json = (text: string) => {
          response.setHeader("Content-Type", "application/json");
          response.end(text);
        };
        const named = /^\/api\/workflows\/([a-z0-9_]+)$/.exec(url)?.[1];
        if (url === "/api/nodes") json(readFileSync(process.env["GRAPHENGINE_NODES"] ?? "nodes.json", "utf8"));
        else if (url === "/api/workflows") {
          const names = readdirSync(WORKFLOWS).filter((name) => name.endsWith(".json"));
          json(JSON.stringify({ workflows: names.map((file) => ({
            name: file.replace(".json", ""), title: file, description: "", shipped: true, modified: 0,
            etag: "mock", picture: null })) }));
        } else if (named) json(readFileSync(new URL(`${named}.json`, WORKFLOWS), "utf8"));
        else if (url.endsWith("/choices/model")) json('{"choices": ["storybook", "other"]}');
        else if (url.startsWith("/api/")) {
          response.statusCode = 503;
          json('{"title": "no server", "status": 503, "detail": "the mock does not run workflows"}');
        } else next();
      });
    },
  };
}
