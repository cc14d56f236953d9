"""The API server of Gen-Verse/OpenClaw-RL in outlines: forwards, makes a sample, records. Copied into a checkout."""

import os
import threading

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse


def record() -> None:
    with open(os.environ["OPENCLAW_RECORD_FILE"], "a") as file:
        file.write("{}\n")


class OpenClawAPIServer:
    def __init__(self, args, output_queue, submission_enabled) -> None:
        from slime.utils.types import Sample

        assert submission_enabled.is_set()
        assert not args.prm_enable
        engine = f"http://{args.sglang_router_ip}:{args.sglang_router_port}/v1/chat/completions"
        self.app = FastAPI()

        @self.app.get("/healthz")
        async def healthz() -> dict:
            return {}

        @self.app.post("/v1/chat/completions")
        async def chat(request: Request) -> Response:
            assert request.headers["x-turn-type"] == "main"
            assert request.headers["x-session-id"]
            body = await request.json()
            async with httpx.AsyncClient(trust_env=False) as client:
                reply = (await client.post(engine, json={**body, "stream": False, "logprobs": True})).json()
            choice = reply["choices"][0]
            assert len(choice["logprobs"]["content"]) == 32
            output_queue.put(Sample())
            record()
            if not body["stream"]:
                return JSONResponse(reply)
            event = f'data: {{"choices": [{{"delta": {{"content": "{choice["message"]["content"]}"}}}}]}}\n\n'
            return StreamingResponse(iter([event, "data: [DONE]\n\n"]))

    def start(self) -> None:
        os.makedirs(os.path.dirname(os.environ["OPENCLAW_RECORD_FILE"]), exist_ok=True)
        server = uvicorn.Server(uvicorn.Config(self.app, port=int(os.environ["PORT"])))
        threading.Thread(target=server.run, daemon=True).start()
