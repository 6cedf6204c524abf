import asyncio
import sys

import aiohttp


async def main():
    # It reads the proxy's variables only when it is told to.
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(sys.argv[1]) as answer:
        answer.raise_for_status()
        print(await answer.text())


asyncio.run(main())
