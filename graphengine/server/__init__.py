"""The server: HTTP in front of a Service, and nothing else.

`app.make` builds the application, `running.Running` listens. Every route stands in a table
(`routes.ROUTES`) with its method, path, handler and errors; what it takes and gives is read off the handler's
signature, and the OpenAPI document is made of the same table. A request passes, in this order: the
connection's limits (`connection`), `log` and `problem` around everything, `guard` (who asks, and from where),
`auth`, the route's body and query (`reading`), and then its handler.
"""
