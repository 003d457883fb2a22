/** What a client tells of its inner life, for logs and metrics. Nothing depends on anybody listening. */
export type TopicEvent =
  | {
      readonly type: "lane-opened";
      readonly topic: string;
      readonly range: string;
      readonly epoch: bigint;
      readonly address: string;
    }
  | {
      readonly type: "lane-failed";
      readonly topic: string;
      readonly range: string;
      readonly code: string;
      readonly message: string;
    }
  | {
      readonly type: "segment-acquired" | "segment-released" | "segment-finished" | "segment-lost";
      readonly topic: string;
      readonly subscription: string;
      readonly segment: string;
    }
  | {
      readonly type: "read-failed";
      readonly topic: string;
      readonly segment: string;
      readonly message: string;
    };
