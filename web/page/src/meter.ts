// Meter measures what arrives live: how long each item took from its commit to the screen, and how many there are in a second.
export class Meter {
  lags: number[] = [] // seconds, of the latest paints
  perSecond = 0
  total = 0

  private seconds = new Map<number, number>()

  // painted records that items have been painted. The lag is that of the oldest one, by the clocks of the server and this machine.
  painted(oldest: number, items: number, at: number) {
    this.total += items
    const second = Math.floor(at)
    this.seconds.set(second, (this.seconds.get(second) ?? 0) + items)
    if (oldest) {
      this.lags.push(Math.max(0, at - oldest))
      if (this.lags.length > 60) this.lags.shift()
    }
  }

  // tick brings the rate up to date: that of the latest full second.
  tick(at: number) {
    const second = Math.floor(at) - 1
    this.perSecond = this.seconds.get(second) ?? 0
    for (const s of this.seconds.keys()) if (s < second) this.seconds.delete(s)
  }

  get lag(): number | undefined {
    return this.lags[this.lags.length - 1]
  }

  get median(): number | undefined {
    if (this.lags.length === 0) return undefined
    return [...this.lags].sort((a, b) => a - b)[this.lags.length >> 1]
  }
}
